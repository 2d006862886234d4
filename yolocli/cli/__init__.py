"""The command line: options to settings, results to people; the only room that knows typer, tqdm and rich."""
