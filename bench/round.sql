-- Prints this session's processor ticks before and after a round.
SELECT pg_backend_pid() AS pid \gset
\setenv PID :pid
\! awk '{ print $14 + $15 }' /proc/$PID/stat
CALL retention.run_due();
\! awk '{ print $14 + $15 }' /proc/$PID/stat
