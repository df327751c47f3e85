// Filter forms marked data-auto-submit apply a choice at once; typed text waits for Enter or the button.

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.hasAttribute("data-auto-submit") && event.target.matches("select")) form.requestSubmit();
});
