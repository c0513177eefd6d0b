// Transactions in the browser: what has to be counted is fetched beside the list, and addresses of filters stay short.
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
    // A time zone says nothing where no time is named.
    if (![...event.formData.keys()].some((name) => name.endsWith("_from") || name.endsWith("_to") || name === "as_of" || name === "day_of")) {
      event.formData.delete("tz");
    }
  });
}

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
