// Transactions in the browser: the totals are fetched beside the list, and addresses of filters stay short.
// Without it a link leads to the totals.
"use strict";

// A form sends its empty fields, too; the address is easier to share without them.
for (const form of document.querySelectorAll("form[data-brief]")) {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "") {
        event.formData.delete(name);
      }
    }
  });
}

async function loadTotals(section) {
  const state = document.getElementById("totals-state");
  section.setAttribute("aria-busy", "true");
  state.textContent = "Counting …";
  try {
    const answer = await fetch(section.dataset.totals, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(120000) });
    if (answer.redirected) {
      throw new Error("you are logged out; load the page again");
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.getElementById("totals-part");
    if (!answer.ok || !part) {
      throw new Error(`HTTP ${answer.status}`);
    }
    state.remove();
    if (matchMedia("(max-width: 40rem)").matches) {
      part.querySelectorAll(".sums-of").forEach((sums) => (sums.open = false)); // the list is not far on a phone either
    }
    section.append(part);
  } catch (error) {
    const why = error instanceof TypeError || error.name === "TimeoutError" ? "the service does not answer" : error.message;
    const again = document.createElement("a");
    again.href = section.dataset.totals;
    again.textContent = "Try again";
    again.addEventListener("click", (event) => {
      event.preventDefault();
      loadTotals(section);
    });
    state.replaceChildren(`The totals could not be counted: ${why}. `, again);
  } finally {
    section.removeAttribute("aria-busy");
  }
}

const totals = document.querySelector("[data-totals]");
if (totals) {
  loadTotals(totals);
}
