"""What exists because of the HTTP server: between its connections and the application, which stays plain WSGI."""
