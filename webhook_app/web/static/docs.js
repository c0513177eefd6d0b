// Starts Swagger UI on our document. The token that is pasted stays in this page; it is gone with a reload.
"use strict";

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
