%% Our questions put to Erlang/OTP: tell, ring, ask, spawn, supervised restart, tell to another node. Prints one JSON line.
-module(peers).
-export([main/0, init/1, start_worker/1, worker_init/2, remote_sink/2]).
-behaviour(supervisor).

main() ->
    Tell = best(5, fun() -> tell(1000000) end),
    Ring = best(5, fun() -> ring(100, 1000) end),
    {AskRate, AskP50} = ask(200000),
    {SpawnRate, Bytes} = spawn_many(100000),
    Restart = restarts(2000),
    Remote = remote(200000),
    io:format("{\"tell_per_s\": ~p, \"ring_hops_per_s\": ~p, \"ask_per_s\": ~p, \"ask_p50_us\": ~p, "
              "\"spawn_per_s\": ~p, \"idle_bytes\": ~p, \"restart_p50_us\": ~p, \"remote_tell_per_s\": ~p, \"otp\": \"~s\"}~n",
              [Tell, Ring, AskRate, AskP50, SpawnRate, Bytes, Restart, Remote, erlang:system_info(otp_release)]),
    halt(0).

best(Rounds, Fun) -> lists:max([Fun() || _ <- lists:seq(1, Rounds)]).

rate(Count, Start) ->
    Us = erlang:convert_time_unit(erlang:monotonic_time() - Start, native, microsecond),
    round(Count * 1000000 / max(1, Us)).

tell(Count) ->
    Me = self(),
    Sink = spawn(fun() -> sink(Count, Me) end),
    Start = erlang:monotonic_time(),
    send(Sink, Count),
    receive done -> ok end,
    rate(Count, Start).

send(_, 0) -> ok;
send(To, N) -> To ! {message, N}, send(To, N - 1).

sink(0, Me) -> Me ! done;
sink(N, Me) -> receive {message, _} -> sink(N - 1, Me) end.

%% 100-byte messages to a process of another node on this machine, until the last one was taken.
remote(Count) ->
    Path = filename:dirname(code:which(?MODULE)),
    {ok, Peer, Node} = peer:start_link(#{name => peer:random_name(), args => ["-pa", Path]}),
    Rate = best(5, fun() -> remote(Node, Count) end),
    peer:stop(Peer),
    Rate.

remote(Node, Count) ->
    Sink = spawn(Node, ?MODULE, remote_sink, [Count, self()]),
    Body = binary:copy(<<0>>, 100),
    Start = erlang:monotonic_time(),
    send_body(Sink, Count, Body),
    receive done -> ok end,
    rate(Count, Start).

send_body(_, 0, _) -> ok;
send_body(To, N, Body) -> To ! {message, Body}, send_body(To, N - 1, Body).

remote_sink(0, Me) -> Me ! done;
remote_sink(N, Me) -> receive {message, _} -> remote_sink(N - 1, Me) end.

ring(Size, Rounds) ->
    Me = self(),
    First = spawn(fun() -> ring_first(Me) end),
    Last = lists:foldl(fun(_, Next) -> spawn(fun() -> ring_member(Next) end) end, First, lists:seq(2, Size)),
    First ! {next, Last},
    Start = erlang:monotonic_time(),
    First ! {hop, Rounds},
    receive done -> ok end,
    rate(Size * Rounds, Start).

ring_first(Me) ->
    receive {next, Next} -> ring_first(Me, Next) end.
ring_first(Me, Next) ->
    receive
        {hop, 0} -> Next ! stop, Me ! done;
        {hop, N} -> Next ! {hop, N - 1}, ring_first(Me, Next);
        stop -> ok
    end.
ring_member(Next) ->
    receive
        {hop, N} -> Next ! {hop, N}, ring_member(Next);
        stop -> Next ! stop
    end.

ask(Count) ->
    Server = spawn(fun Loop() -> receive {From, Ref, X} -> From ! {Ref, X}, Loop() end end),
    Start = erlang:monotonic_time(),
    Times = [one_ask(Server, N) || N <- lists:seq(1, Count)],
    Rate = rate(Count, Start),
    exit(Server, kill),
    {Rate, lists:nth(Count div 2, lists:sort(Times)) / 1000}.

one_ask(Server, N) ->
    Start = erlang:monotonic_time(nanosecond),
    Ref = make_ref(),
    Server ! {self(), Ref, N},
    receive {Ref, N} -> ok end,
    erlang:monotonic_time(nanosecond) - Start.

spawn_many(Count) ->
    Before = erlang:memory(processes),
    Start = erlang:monotonic_time(),
    Pids = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, Count)],
    Rate = rate(Count, Start),
    Bytes = (erlang:memory(processes) - Before) div Count,
    [P ! stop || P <- Pids],
    {Rate, Bytes}.

%% A worker that tells the driver when it is up and crashes on demand, under a one_for_one supervisor.
restarts(Count) ->
    error_logger:tty(false),
    logger:set_primary_config(level, none),
    Me = self(),
    {ok, _} = supervisor:start_link(?MODULE, Me),
    Times = [crash_once() || _ <- lists:seq(1, Count)],
    lists:nth(Count div 2, lists:sort(Times)) / 1000.

crash_once() ->
    Pid = receive {up, P} -> P end,
    Start = erlang:monotonic_time(nanosecond),
    Pid ! crash,
    receive {up, New} -> self() ! {up, New} end,
    erlang:monotonic_time(nanosecond) - Start.

init(Driver) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1},
          [#{id => worker, start => {?MODULE, start_worker, [Driver]}}]}}.

start_worker(Driver) -> proc_lib:start_link(?MODULE, worker_init, [self(), Driver]).

worker_init(Parent, Driver) ->
    proc_lib:init_ack(Parent, {ok, self()}),
    Driver ! {up, self()},
    receive crash -> exit(crashed) end.
