-- Which targets things still join: those of continuous jobs, until the job is canceled. Who joins or leaves a group looks
-- at these, so that its cost does not grow with the jobs that the group ever had. 1 for old rows: the job decides anyway.

ALTER TABLE job_targets ADD COLUMN open INTEGER NOT NULL DEFAULT 1;
CREATE INDEX job_targets_open ON job_targets (kind, name, job) WHERE open = 1;
