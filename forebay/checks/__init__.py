"""`forebay audit`: each look at the books is a module, whose `faults` names what does not balance."""
