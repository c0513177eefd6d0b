// Starts Swagger UI on our document. The token that is pasted stays in this page; it is gone with a reload.
"use strict";

// Swagger UI's dark palette hangs on a class of the root element: it follows the theme that was chosen, or the system's.
const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => {
  root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);
};
systemIsDark.addEventListener("change", followTheme);
new MutationObserver(followTheme).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
followTheme();

const place = document.getElementById("swagger-ui");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
  // The official validator would be asked about our document, at another host.
  validatorUrl: null,
});
