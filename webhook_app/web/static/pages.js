// What pages do in the browser: copy buttons, forms that are sent once, short addresses. Everything else works without scripts.
"use strict";

function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer) {
    announcer.textContent = text;
  }
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // No clipboard without TLS: select the text next to the button instead, ready for Ctrl-C.
    const text = button.previousElementSibling;
    if (text) {
      window.getSelection().selectAllChildren(text);
    }
    announce("Selected. Press Control C to copy.");
    return;
  }
  announce("Copied.");
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (button) {
    copy(button);
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if ("once" in form.dataset) {
    if (form.dataset.sent) {
      event.preventDefault();
    }
    form.dataset.sent = "yes";
  }
});
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

// Back in the history, a form may be sent again.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-once]").forEach((form) => delete form.dataset.sent);
});
