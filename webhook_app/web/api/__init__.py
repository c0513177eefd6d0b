"""What all API routes share."""
