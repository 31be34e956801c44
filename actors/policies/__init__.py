"""Pure rules shared by supervisors, jobs, services and schedules: no clock, thread, socket, log or chance inside."""
