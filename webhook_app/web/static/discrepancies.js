// The forms of a list's rows: each is copied from the one of its kind when somebody opens it, for fifty of each would
// have to be made before anybody sees the list. Without a script a link leads to the page with the same forms.
"use strict";

function fillIn(opened) {
  const { id, revision, owner } = opened.dataset;
  const form = document.getElementById(opened.dataset.form).content.querySelector("form").cloneNode(true);
  form.setAttribute("action", form.getAttribute("action").replace("/0/", `/${id}/`));
  for (const name of ["id", "for", "aria-describedby"]) {
    form.querySelectorAll(`[${name}]`).forEach((one) => one.setAttribute(name, one.getAttribute(name).replace(/-0(?=-|$)/, `-${id}`)));
  }
  if (form.elements.revision) {
    form.elements.revision.value = revision;
  }
  if (form.elements.owner && owner) {
    form.elements.owner.value = owner;
  }
  opened.querySelector(".to-page").replaceWith(form);
}

// It does not bubble.
document.addEventListener("toggle", ({ target }) => {
  if (target.open && target.dataset.form && target.querySelector(".to-page")) {
    fillIn(target);
  }
}, true);
