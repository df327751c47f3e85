// The ticket's comforts: choices that do not go together are greyed out, and the symbol search obeys the
// arrow keys. Without this script the server says the same after "Review".

const form = document.getElementById("ticket");
const source = document.getElementById("ticket-rules");

function valueOf(name) {
  const field = form.elements[name];
  return field ? field.value : "";
}

// An option that the type does not allow is disabled; a chosen one gives way to the first allowed.
function allow(select, isAllowed) {
  for (const option of select.options) option.disabled = !isAllowed(option.value);
  if (select.selectedOptions[0]?.disabled) {
    const first = [...select.options].find((option) => !option.disabled);
    if (first) select.value = first.value;
  }
}

function classesOf(exits) {
  if (exits === "pair") return ["oco"];
  return exits === "attached" ? ["bracket", "oto"] : ["simple"];
}

function adjust(rules) {
  const rule = rules[valueOf("order_type")];
  if (!rule) return;
  const exits = form.elements.exits;
  if (exits) allow(exits, (value) => classesOf(value).some((name) => rule.classes.includes(name)));
  const hasExits = exits && exits.value !== "none";
  allow(form.elements.time_in_force, (value) => rule.times.includes(value) && (!hasExits || ["day", "gtc"].includes(value)));
  const extended = form.elements.extended_hours;
  if (extended) {
    extended.disabled = hasExits || !rule.extended.includes(valueOf("time_in_force"));
    if (extended.disabled) extended.checked = false;
  }
}

if (form && source) {
  const rules = JSON.parse(source.textContent);
  form.addEventListener("change", () => adjust(rules));
  adjust(rules);
}

const search = document.querySelector("[data-symbol-search]");

function results() {
  return [...search.querySelectorAll("a[role=option]")];
}

function close() {
  search.querySelector("[role=listbox]").replaceChildren();
  search.querySelector("[role=combobox]").setAttribute("aria-expanded", "false");
}

function move(step) {
  const items = results();
  if (!items.length) return;
  const at = items.indexOf(document.activeElement);
  const next = at + step;
  if (next < 0) search.querySelector("[role=combobox]").focus();
  else items[Math.min(next, items.length - 1)].focus();
}

if (search) {
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
      search.querySelector("[role=combobox]").focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    }
  });
  search.addEventListener("htmx:afterSwap", () => {
    search.querySelector("[role=combobox]").setAttribute("aria-expanded", String(results().length > 0));
  });
  document.addEventListener("click", (event) => {
    if (!search.contains(event.target)) close();
  });
}
