"""What server, agent and update application share: states, topics, job documents."""
