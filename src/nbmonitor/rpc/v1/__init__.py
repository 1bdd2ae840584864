"""Generated from `protos/nbmonitor/rpc/v1` by `make proto`; only `nbmonitor.rpc.codec` imports it."""
