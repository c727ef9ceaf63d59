-- Who is one person is asked from either side.
CREATE INDEX standing_by_other ON standing (tenant_id, item) WHERE side = 'person';
