-- A stand-in for the Citus extension, for tests: the tables and functions by which an agent keeps the catalogue of nodes,
-- with the signatures that Citus documents and the refusals that matter. Nothing is distributed. Every call is told in the
-- server's log, with its transaction, so that a test sees also what was rolled back.

CREATE SCHEMA citus;
CREATE TYPE citus.noderole AS ENUM ('primary', 'secondary', 'unavailable');
ALTER TYPE citus.noderole SET SCHEMA pg_catalog;

CREATE SEQUENCE citus.pg_dist_node_nodeid_seq;
ALTER SEQUENCE citus.pg_dist_node_nodeid_seq SET SCHEMA pg_catalog;
CREATE TABLE citus.pg_dist_node (
    nodeid int PRIMARY KEY DEFAULT nextval('pg_catalog.pg_dist_node_nodeid_seq'),
    groupid int NOT NULL,
    nodename text NOT NULL,
    nodeport int NOT NULL DEFAULT 5432,
    noderack text NOT NULL DEFAULT 'default',
    hasmetadata bool NOT NULL DEFAULT false,
    isactive bool NOT NULL DEFAULT true,
    noderole pg_catalog.noderole NOT NULL DEFAULT 'primary',
    nodecluster name NOT NULL DEFAULT 'default',
    metadatasynced bool NOT NULL DEFAULT false,
    shouldhaveshards bool NOT NULL DEFAULT true,
    UNIQUE (nodename, nodeport)
);
ALTER TABLE citus.pg_dist_node SET SCHEMA pg_catalog;

CREATE TABLE citus.pg_dist_authinfo (
    nodeid int NOT NULL,
    rolename name NOT NULL,
    authinfo text NOT NULL
);
ALTER TABLE citus.pg_dist_authinfo SET SCHEMA pg_catalog;

CREATE FUNCTION citus.told(call text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE LOG 'stand-in: % in %', call, txid_current();
END $$;

CREATE FUNCTION pg_catalog.citus_add_node(
    nodename text, nodeport int, groupid int DEFAULT -1, noderole noderole DEFAULT 'primary', nodecluster name DEFAULT 'default'
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    made int;
BEGIN
    PERFORM citus.told(format('citus_add_node(%s, %s, %s, %s)', $1, $2, $3, $4));
    SELECT n.nodeid INTO made FROM pg_dist_node n WHERE n.nodename = $1 AND n.nodeport = $2;
    IF FOUND THEN
        RETURN made;
    END IF;
    IF $4 = 'primary' AND EXISTS (SELECT FROM pg_dist_node n WHERE n.groupid = $3 AND n.noderole = 'primary') THEN
        RAISE 'group % already has a primary node', $3;
    END IF;
    IF $4 <> 'primary' AND NOT EXISTS (SELECT FROM pg_dist_node n WHERE n.groupid = $3 AND n.noderole = 'primary') THEN
        RAISE 'node group % does not have a primary node', $3;
    END IF;
    INSERT INTO pg_dist_node (groupid, nodename, nodeport, noderole, nodecluster) VALUES ($3, $1, $2, $4, $5)
        RETURNING nodeid INTO made;
    RETURN made;
END $$;

CREATE FUNCTION pg_catalog.citus_update_node(
    node_id int, new_node_name text, new_node_port int, force bool DEFAULT false, lock_cooldown int DEFAULT 10000
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM citus.told(format('citus_update_node(%s, %s, %s, %s, %s)', $1, $2, $3, $4, $5));
    IF EXISTS (SELECT FROM pg_dist_node WHERE nodename = $2 AND nodeport = $3 AND nodeid <> $1) THEN
        RAISE 'there is already another node with the specified hostname and port';
    END IF;
    UPDATE pg_dist_node SET nodename = $2, nodeport = $3 WHERE nodeid = $1;
    IF NOT FOUND THEN
        RAISE 'node % not found', $1;
    END IF;
END $$;

CREATE FUNCTION pg_catalog.citus_remove_node(nodename text, nodeport int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM citus.told(format('citus_remove_node(%s, %s)', $1, $2));
    DELETE FROM pg_dist_node n WHERE n.nodename = $1 AND n.nodeport = $2;
    IF NOT FOUND THEN
        RAISE 'node at "%:%" does not exist', $1, $2;
    END IF;
END $$;

CREATE FUNCTION pg_catalog.citus_set_coordinator_host(
    host text, port int DEFAULT current_setting('port')::int, node_role noderole DEFAULT 'primary',
    node_cluster name DEFAULT 'default'
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM citus.told(format('citus_set_coordinator_host(%s, %s, %s)', $1, $2, $3));
    UPDATE pg_dist_node SET nodename = $1, nodeport = $2 WHERE groupid = 0 AND noderole = $3;
    IF NOT FOUND THEN
        INSERT INTO pg_dist_node (groupid, nodename, nodeport, noderole, nodecluster, shouldhaveshards)
            VALUES (0, $1, $2, $3, $4, false);
    END IF;
END $$;
