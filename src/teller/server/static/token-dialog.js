// The question for the server's access token, where it wants one.

import { byId } from "./elements.js";

/** Make the page's dialog work: `use` is given what was entered. Gives a function that opens it. */
export function tokenDialog(use) {
  const dialog = byId("token-dialog");
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // nothing works without it
  byId("token-form").addEventListener("submit", () => {
    const token = byId("token").value;
    byId("token").value = "";
    byId("token-wrong").hidden = false; // seen if it is asked for again
    use(token);
  });
  return () => dialog.open || dialog.showModal();
}
