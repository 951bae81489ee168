"""Acting by search: planners, the policy that one makes of a world model, and goals to reach."""
