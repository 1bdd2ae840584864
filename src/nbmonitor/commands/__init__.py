"""What `nbmonitor …` can do: a file a command, with `arguments(parser)` and `main(options) -> exit status`. Roof."""
