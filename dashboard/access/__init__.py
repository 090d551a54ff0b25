"""Who looks: logins, sessions, and what each viewer may see."""
