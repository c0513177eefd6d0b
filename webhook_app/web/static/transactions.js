// Transactions in the browser: what has to be counted is fetched beside the list.
// Without it a link leads to the totals.
"use strict";

async function loadPart(place) {
  place.setAttribute("aria-busy", "true");
  place.replaceChildren("Counting …");
  try {
    const answer = await fetch(place.dataset.part, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(120000) });
    if (answer.redirected) {
      throw new Error("you are logged out; load the page again");
    }
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("part");
    if (!answer.ok || !part) {
      throw new Error(`HTTP ${answer.status}`);
    }
    part.removeAttribute("id");
    place.replaceChildren(part);
  } catch (error) {
    const why = error instanceof TypeError || error.name === "TimeoutError" ? "the service does not answer" : error.message;
    const again = document.createElement("button");
    again.type = "button";
    again.className = "btn btn-sm btn-outline-secondary";
    again.textContent = "Try again";
    again.addEventListener("click", () => loadPart(place));
    place.replaceChildren(`They could not be counted: ${why}. `, again);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

document.querySelectorAll("[data-part]").forEach(loadPart);
