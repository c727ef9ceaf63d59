\set conversation random(1, 2000)
\set id random(1, 2000000000)
BEGIN;
INSERT INTO message VALUES ('bench', decode(md5(:id::text), 'hex'), decode(md5(:conversation::text), 'hex'), :id, convert_to(repeat('x', 200), 'UTF8')) ON CONFLICT DO NOTHING;
INSERT INTO conversation AS c VALUES ('bench', decode(md5(:conversation::text), 'hex'), :id, 1) ON CONFLICT (tenant, id) DO UPDATE SET last_at = GREATEST(c.last_at, excluded.last_at), messages = c.messages + 1;
UPDATE projection_offset SET next = next + 1 WHERE partition = 0;
COMMIT;
