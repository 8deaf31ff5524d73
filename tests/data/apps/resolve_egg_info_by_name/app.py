import old_thing
