"""A checked tree as closures, evaluated by PromQL's rules, and what they found in words."""
