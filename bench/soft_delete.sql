DELETE FROM soft WHERE id = (SELECT nextval('soft_next'));
