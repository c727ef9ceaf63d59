-- A view that is made anew stands in a schema of its own, beside the tables that are read, until it takes their place
-- (`rebuild.rs`). What it replaces goes through another one on its way out.

CREATE SCHEMA rebuild;
CREATE SCHEMA retired;
GRANT USAGE ON SCHEMA rebuild TO tidings_projector, tidings_keeper;

-- Makes an empty table like that one of `public` in another schema: columns, settings, keys, indexes, row-level security and
-- rights. There is one definition of each table, the table itself.
CREATE FUNCTION make_beside(name text, target text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    source regclass := format('public.%I', name)::regclass;
    place text := format('%I.%I', target, name);
    about pg_class;
    item record;
BEGIN
    SELECT * INTO STRICT about FROM pg_class WHERE oid = source;
    EXECUTE format('CREATE TABLE %s (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)', place, name);
    IF about.reloptions IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s SET (%s)', place, array_to_string(about.reloptions, ', '));
    END IF;
    FOR item IN SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
            WHERE conrelid = source AND contype IN ('p', 'u', 'x') ORDER BY conname LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', place, item.conname, item.definition);
    END LOOP;
    FOR item IN SELECT pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
            WHERE i.indrelid = source AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
            ORDER BY i.indexrelid LOOP
        EXECUTE replace(item.definition, format(' ON public.%I ', name), format(' ON %s ', place));
    END LOOP;
    IF about.relrowsecurity THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', place);
    END IF;
    IF about.relforcerowsecurity THEN
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', place);
    END IF;
    FOR item IN SELECT polname, polpermissive, polcmd,
                pg_get_expr(polqual, polrelid) AS visible, pg_get_expr(polwithcheck, polrelid) AS allowed,
                (SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
                 FROM unnest(polroles) AS r) AS roles
            FROM pg_policy WHERE polrelid = source ORDER BY polname LOOP
        EXECUTE format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', item.polname, place,
                CASE WHEN item.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                CASE item.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                item.roles)
            || coalesce(' USING (' || item.visible || ')', '') || coalesce(' WITH CHECK (' || item.allowed || ')', '');
    END LOOP;
    FOR item IN SELECT grantee, privilege_type, is_grantable FROM aclexplode(about.relacl)
            WHERE grantee <> about.relowner LOOP
        EXECUTE format('GRANT %s ON %s TO %s', item.privilege_type, place,
                CASE WHEN item.grantee = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(item.grantee)) END)
            || CASE WHEN item.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION make_beside FROM public;
