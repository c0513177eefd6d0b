"""Notifications: which recipient is told what of an incident, when, and whether it arrived."""
