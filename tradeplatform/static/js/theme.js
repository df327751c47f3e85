// Theme choice: system, light or dark, kept in a cookie so that the server renders the right one at once.

const ONE_YEAR = 365 * 24 * 60 * 60;
const root = document.documentElement;
const system = window.matchMedia("(prefers-color-scheme: dark)");

export function currentChoice() {
  return root.dataset.theme ?? "system";
}

export function isDark() {
  const choice = currentChoice();
  return choice === "system" ? system.matches : choice === "dark";
}

export function chooseTheme(choice) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  if (choice === "system") {
    delete root.dataset.theme;
    document.cookie = `theme=; Path=/; Max-Age=0; SameSite=Lax${secure}`;
  } else {
    root.dataset.theme = choice;
    document.cookie = `theme=${choice}; Path=/; Max-Age=${ONE_YEAR}; SameSite=Lax${secure}`;
  }
  markChoice();
  document.dispatchEvent(new CustomEvent("theme:changed"));
}

function markChoice() {
  for (const button of document.querySelectorAll("[data-theme-choice] button")) {
    button.setAttribute("aria-pressed", String(button.value === currentChoice()));
  }
}

document.addEventListener("click", (event) => {
  const choice = event.target.closest("[data-theme-choice] button");
  if (choice) chooseTheme(choice.value);
  if (event.target.closest("[data-theme-toggle]")) chooseTheme(isDark() ? "light" : "dark");
});

system.addEventListener("change", () => document.dispatchEvent(new CustomEvent("theme:changed")));
markChoice();
