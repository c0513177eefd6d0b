"""What the overview page shows, worked out before its template puts it into HTML."""
