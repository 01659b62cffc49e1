"""Topic rules, pure: the SQL of AWS IoT (2016-03-23), its evaluation on one message, substitution templates."""
