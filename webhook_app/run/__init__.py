"""Starting and stopping processes: what `webhook-app run` and the two lanes of `webhook-app worker` stand on."""
