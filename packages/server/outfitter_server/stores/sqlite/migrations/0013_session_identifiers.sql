-- What a session is called in presence and subscription events; "" for one of before, until its client comes.
ALTER TABLE mqtt_sessions ADD COLUMN identifier TEXT NOT NULL DEFAULT '';
