// The import form: files may be dropped anywhere on the field; sizes are checked before anything is sent.
const MEGABYTE = 1024 * 1024;

function describe(file) {
  const size = file.size >= MEGABYTE ? `${(file.size / MEGABYTE).toFixed(1)} MB` : `${Math.ceil(file.size / 1024)} kB`;
  return `${file.name}, ${size}`;
}

function problemOf(form, files) {
  const most = Number(form.dataset.maxFiles);
  if (files.length > most) return `Choose at most ${most} files at a time.`;
  const limit = Number(form.dataset.maxBytes);
  const large = files.filter((file) => file.size > limit).map((file) => file.name);
  if (!large.length) return "";
  return `${large.join(", ")} is larger than ${limit / MEGABYTE} MB. Split it by date and import the parts.`;
}

function show(form, input) {
  const files = [...input.files];
  const list = form.querySelector("[data-chosen]");
  list.replaceChildren(
    ...files.map((file) => {
      const item = document.createElement("li");
      item.textContent = describe(file);
      return item;
    }),
  );
  input.setCustomValidity(problemOf(form, files));
  input.reportValidity();
}

for (const form of document.querySelectorAll("form[data-import]")) {
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector("[data-drop]");
  input.addEventListener("change", () => show(form, input));
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.dataset.over = "";
    });
  }
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget)) delete zone.dataset.over;
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    delete zone.dataset.over;
    if (!event.dataTransfer?.files.length) return;
    input.files = event.dataTransfer.files;
    show(form, input);
  });
}
