"""Rules of a user's own about who may come in; a server's process imports them from here."""

from farm_gss import GSSAuth


class Staff(GSSAuth):
    """Whoever has an account whose name ends in a dash and a department."""

    def name_accepted(self, name):
        return str(name).partition("@")[0].endswith("-staff")
