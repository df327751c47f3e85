// Passkey errors in words: the library reports them as an event instead of leaving them in the console.
import { showToast } from "./toast.js";

const CANCELLED = ["NotAllowedError", "AbortError"];

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const { name } = event.detail.exception;
  if (CANCELLED.includes(name)) {
    showToast("The passkey was not used: the request was cancelled or took too long. You can try again.", "warn");
  } else if (name === "InvalidStateError") {
    showToast("This key is already registered with your account.", "warn");
  } else {
    showToast("The passkey could not be used. Try again, or use another way.", "error");
  }
});
