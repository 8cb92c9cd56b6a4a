#!/usr/bin/env escript
%% The rows of the table for Erlang/OTP: `escript supervise.escript full|small`.
-module(supervise).
-mode(compile).
-export([main/1, init/1, failing/1, waiting/0, run_failing/2, run_waiting/1]).

main([Size]) ->
    ok = logger:set_primary_config(level, none),
    {Times, Crowds} = case Size of
        "full" -> {2000, [1000, 10000, 100000]};
        "small" -> {3, [10, 10, 10]}
    end,
    Restart = restarts(Times),
    io:format("~-20s~12s", ["erlang/otp " ++ erlang:system_info(otp_release), us(Restart)]),
    lists:foreach(fun(N) ->
        Rounds = lists:sort([start_stop(N) || _ <- lists:seq(1, 5)]),
        io:format("~12s", [us(lists:nth(3, Rounds) / N)])
    end, Crowds),
    io:format("~n").

us(Ns) -> io_lib:format("~.2f us", [Ns / 1000]).

init({Intensity, Children}) ->
    {ok, {#{strategy => one_for_one, intensity => Intensity, period => 1}, Children}}.

%% From just before a child ends to the first line of the next.
restarts(Times) ->
    Child = #{id => child, start => {?MODULE, failing, [self()]}},
    {ok, Sup} = supervisor:start_link(?MODULE, {1000000, [Child]}),
    All = lists:sort(restarts(Times, first(), [])),
    unlink(Sup),
    exit(Sup, shutdown),
    lists:nth(length(All) div 2 + 1, All).

first() -> receive {runs, Pid, _} -> Pid end.

restarts(0, _, All) -> All;
restarts(Left, Pid, All) ->
    erlang:yield(),
    Pid ! fail,
    receive {fails, From} -> receive {runs, Next, To} -> restarts(Left - 1, Next, [To - From | All]) end end.

failing(To) -> {ok, proc_lib:spawn_link(?MODULE, run_failing, [To, self()])}.

run_failing(To, _Sup) ->
    Now = erlang:monotonic_time(nanosecond),
    To ! {runs, self(), Now},
    receive fail ->
        To ! {fails, erlang:monotonic_time(nanosecond)},
        exit(planned)
    end.

start_stop(N) ->
    Began = erlang:monotonic_time(nanosecond),
    Children = [#{id => Id, start => {?MODULE, waiting, []}} || Id <- lists:seq(1, N)],
    {ok, Sup} = supervisor:start_link(?MODULE, {0, Children}),
    Mon = monitor(process, Sup),
    unlink(Sup),
    exit(Sup, shutdown),
    receive {'DOWN', Mon, process, Sup, _} -> ok end,
    erlang:monotonic_time(nanosecond) - Began.

waiting() -> {ok, proc_lib:spawn_link(?MODULE, run_waiting, [self()])}.

run_waiting(_Sup) ->
    process_flag(trap_exit, true),
    receive {'EXIT', _, Why} -> exit(Why) end.
