"""The doors to one optimum: `solve` and `certify`; a room called solve would hide the function."""
