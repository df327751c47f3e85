// Choosing another portfolio shows it at once; without script the button beside the list does.
for (const form of document.querySelectorAll("form[data-go-on-change]")) {
  const button = form.querySelector("button[type=submit]");
  if (button) button.hidden = true;
  form.addEventListener("change", () => form.requestSubmit());
}

// On a phone the tabs scroll sideways: the current one is brought into view.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
