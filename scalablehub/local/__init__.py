"""The hub on one machine: everything that `scalablehub up` starts, prepares and looks after."""
