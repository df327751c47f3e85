// data-copy="text": copy it, and say so.
import { showToast } from "./toast.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    showToast("Copied.", "good");
  } catch {
    showToast("The browser did not allow copying. Select the text and copy it by hand.", "warn");
  }
});
