#!/usr/bin/env escript
%% Runs scenarios on OTP's own supervisor and prints what happened, in the form of report.rs.
%%
%%   escript otp.escript FILE
%%
%% FILE holds one Erlang term for each scenario (scenario.rs has the grammar). Many run at once, each
%% under processes of its own, so that those which wait for a window to pass wait together.
-module(otp).
-mode(compile).
-export([main/1, init/1, start_worker/3, start_sup/3, worker/2, log/2]).

%% A burst of steps must end well inside the shortest period (1 s), or it says nothing about budgets.
-define(LONGEST_BURST_MS, 500).
-define(TRIES, 4).

main([File]) ->
    {ok, Scenarios} = file:consult(File),
    ok = logger:remove_handler(default),
    ok = logger:add_handler(witness, ?MODULE, #{}),
    io:format("otp ~s~n", [erlang:system_info(otp_release)]),
    {Brief, Long} = lists:partition(fun brief/1, Scenarios),
    Texts = lists:append([batch(Part) || Part <- parts(Brief, 60) ++ parts(Long, 100)]),
    lists:foreach(fun({_, Text}) -> io:put_chars(Text) end, lists:keysort(1, Texts)),
    io:format("end~n").

%% Its windows slide, so its steps must not be slow.
brief({scenario, _, Spec, _}) -> element(4, Spec) =:= 1.

parts([], _) -> [];
parts(List, N) when length(List) =< N -> [List];
parts(List, N) ->
    {Part, Rest} = lists:split(N, List),
    [Part | parts(Rest, N)].

batch(Scenarios) ->
    Self = self(),
    Refs = [begin
                Ref = make_ref(),
                spawn_link(fun() -> Self ! {Ref, {element(2, Scenario), tries(Scenario, ?TRIES)}} end),
                Ref
            end || Scenario <- Scenarios],
    [receive {Ref, Text} -> Text end || Ref <- Refs].

%% A scenario that a busy machine ran too slowly is run again.
tries({scenario, Seed, _, _} = Scenario, Tries) ->
    case run(Scenario) of
        {ok, Text} -> Text;
        slow when Tries > 1 -> tries(Scenario, Tries - 1);
        slow -> io_lib:format("scenario ~b~n  too slow~n", [Seed])
    end.

%% --- One scenario ---

run({scenario, Seed, Spec, Steps}) ->
    Self = self(),
    Ref = make_ref(),
    {Runner, Mon} = spawn_monitor(fun() ->
        process_flag(trap_exit, true),
        Self ! {Ref, scenario(Seed, Spec, Steps)}
    end),
    receive
        {Ref, Result} ->
            receive {'DOWN', Mon, process, Runner, _} -> Result end;
        {'DOWN', Mon, process, Runner, Why} ->
            exit({scenario, Seed, Why})
    end.

scenario(Seed, Spec, Steps) ->
    Log = ets:new(log, [public, ordered_set]),
    ets:insert(Log, {count, 0}),
    Root = supervisor:start_link(?MODULE, {Log, [], Spec}),
    First = case Root of
        {ok, Sup} -> settle(Sup), "ok";
        {error, _} -> "start failed"
    end,
    Head = [io_lib:format("scenario ~b~n", [Seed]), entry("first", Log, First, Root)],
    {Body, _, Slow} = lists:foldl(
        fun(Step, {Text, Began, Slow}) ->
            {Named, Result} = step(Step, Root, Log),
            case Root of {ok, Sup1} -> settle(Sup1); _ -> ok end,
            Now = erlang:monotonic_time(millisecond),
            Late = Slow orelse Now - Began > ?LONGEST_BURST_MS,
            case Step of
                {wait, _} -> {[Text, entry(Named, Log, Result, Root)], Now, Slow};
                _ -> {[Text, entry(Named, Log, Result, Root)], Began, Late}
            end
        end, {[], erlang:monotonic_time(millisecond), false}, Steps),
    Last = case Root of {ok, Sup2} -> stop(Sup2, Log); _ -> [] end,
    case Slow andalso element(4, Spec) =:= 1 of
        true -> slow;
        false -> {ok, [Head, Body, Last]}
    end.

stop(Sup, Log) ->
    case is_process_alive(Sup) of
        true ->
            Mon = monitor(process, Sup),
            exit(Sup, shutdown),
            receive {'DOWN', Mon, process, Sup, _} -> ok end,
            entry("last", Log, "stopped", gone);
        false -> entry("last", Log, "gone", gone)
    end.

entry(Name, Log, Result, Root) ->
    Events = ets:select(Log, [{{'$1', '$2'}, [{is_integer, '$1'}], ['$2']}]),
    ets:select_delete(Log, [{{'$1', '_'}, [{is_integer, '$1'}], [true]}]),
    Tree = case Root of
        {ok, Sup} -> case is_process_alive(Sup) of true -> tree(Sup); false -> "gone" end;
        _ -> "gone"
    end,
    [Name, $\n, [["  ", E, $\n] || E <- Events], "  -> ", Result, $\n, "  tree ", Tree, $\n].

%% Children in their start order, `+` runs and `-` does not.
tree(Sup) ->
    Each = [case Pid of
                undefined -> [atom_to_list(Id), "-"];
                _ when Type =:= supervisor -> [atom_to_list(Id), tree(Pid)];
                _ -> [atom_to_list(Id), "+"]
            end || {Id, Pid, Type, _} <- lists:reverse(supervisor:which_children(Sup))],
    ["[", lists:join(" ", Each), "]"].

%% Waits until every supervisor of the tree has dealt with every exit: nothing that it lists is dead,
%% and nothing is being restarted.
settle(Sup) ->
    case not is_process_alive(Sup) orelse settled(Sup) of
        true -> ok;
        false -> erlang:yield(), settle(Sup)
    end.

settled(Sup) ->
    try lists:all(fun(Child) -> child_settled(Child) end, supervisor:which_children(Sup))
    catch exit:_ -> false
    end.

child_settled({_, undefined, _, _}) -> true;
child_settled({_, restarting, _, _}) -> false;
child_settled({_, Pid, supervisor, _}) -> settled(Pid);
child_settled({_, Pid, worker, _}) -> is_process_alive(Pid).

%% --- Steps ---

step({wait, Ms}, _, _) ->
    timer:sleep(Ms),
    {io_lib:format("wait ~b", [Ms]), "ok"};
step({exits, Exits}, Root, _) ->
    Name = ["exits", [[" ", path(Path), $=, atom_to_list(Why)] || {Path, Why} <- Exits]],
    {Name, exits(Exits, Root)};
step({terminate, Path, Id}, Root, _) ->
    {command("terminate", Path, Id), answer(fun(Sup) -> supervisor:terminate_child(Sup, Id) end, Path, Root)};
step({restart, Path, Id}, Root, _) ->
    {command("restart", Path, Id), answer(fun(Sup) -> supervisor:restart_child(Sup, Id) end, Path, Root)};
step({delete, Path, Id}, Root, _) ->
    {command("delete", Path, Id), answer(fun(Sup) -> supervisor:delete_child(Sup, Id) end, Path, Root)};
step({add, Path, Child}, Root, Log) ->
    Spec = child(Child, Log, Path),
    {command("add", Path, element(1, Child)), answer(fun(Sup) -> supervisor:start_child(Sup, Spec) end, Path, Root)}.

command(Word, Path, Id) -> [Word, $\s, path(Path ++ [Id])].

answer(Command, Path, Root) ->
    case find(Path, Root) of
        {ok, Sup} -> result(Command(Sup));
        gone -> "gone"
    end.

result(ok) -> "ok";
result({ok, _}) -> "ok";
result({error, not_found}) -> "not found";
result({error, running}) -> "running";
result({error, restarting}) -> "restarting";
result({error, already_present}) -> "already present";
result({error, {already_started, _}}) -> "running";
result({error, _}) -> "start failed".

%% Several at once: the supervisor is held until all are dead and their exits lie in its mailbox, in
%% the order given.
exits(Exits, Root) ->
    Found = [{find(Path, Root), lists:droplast(Path), Why, Path} || {Path, Why} <- Exits],
    Sups = case length(Exits) of
        1 -> [];
        _ -> lists:usort([S || {_, P, _, _} <- Found, {ok, S} <- [find(P, Root)]])
    end,
    lists:foreach(fun(Sup) -> sys:suspend(Sup) end, Sups),
    Results = [case Pid of
                   {ok, P} -> kill(P, Why, Sups), "ok";
                   gone -> "gone"
               end || {Pid, _, Why, _} <- Found],
    lists:foreach(fun(Sup) -> sys:resume(Sup) end, Sups),
    lists:join(" ", Results).

kill(Pid, Why, Sups) ->
    Mon = monitor(process, Pid),
    case Why of
        killed -> exit(Pid, kill);
        _ -> Pid ! {leave, Why}
    end,
    receive {'DOWN', Mon, process, Pid, _} -> ok end,
    lists:foreach(fun(Sup) -> arrived(Sup, Pid) end, Sups).

%% The links of a process lose one that is dead when its exit has arrived.
arrived(Sup, Pid) ->
    {links, Links} = process_info(Sup, links),
    case lists:member(Pid, Links) of
        true -> erlang:yield(), arrived(Sup, Pid);
        false -> ok
    end.

find([], {ok, Sup}) -> alive(Sup);
find([Id | Rest], {ok, Sup}) ->
    case is_process_alive(Sup) andalso lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {_, Pid, _, _} when is_pid(Pid), Rest =:= [] -> {ok, Pid};
        {_, Pid, supervisor, _} when is_pid(Pid) -> find(Rest, {ok, Pid});
        _ -> gone
    end;
find(_, _) -> gone.

alive(Sup) ->
    case is_process_alive(Sup) of
        true -> {ok, Sup};
        false -> gone
    end.

%% --- Supervisors and children ---

init({Log, Path, {sup, Strategy, Intensity, Period, Auto, Children}}) ->
    put(witness, {Log, Path}),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => Auto},
    {ok, {Flags, [child(Child, Log, Path) || Child <- Children]}}.

child({Id, Restart, Significant, Stop, Kind}, Log, Above) ->
    Path = Above ++ [Id],
    Shutdown = case Stop of
        at_once -> brutal_kill;
        signal -> infinity
    end,
    Base = #{id => Id, restart => Restart, significant => Significant},
    case Kind of
        {worker, Plan} ->
            Base#{start => {?MODULE, start_worker, [Log, Path, Plan]}, shutdown => Shutdown, type => worker};
        Sup ->
            Base#{start => {?MODULE, start_sup, [Log, Path, Sup]}, shutdown => infinity, type => supervisor}
    end.

start_sup(Log, Path, Sup) ->
    supervisor:start_link(?MODULE, {Log, Path, Sup}).

%% The n-th start takes the n-th word of the plan; after its end every start goes well.
start_worker(Log, Path, Plan) ->
    N = ets:update_counter(Log, {starts, Path}, 1, {{starts, Path}, 0}),
    case N =< length(Plan) andalso lists:nth(N, Plan) of
        error -> event(Log, "fail", Path), {error, planned};
        panic -> event(Log, "fail", Path), error(planned);
        _ ->
            event(Log, "start", Path),
            {ok, proc_lib:start_link(?MODULE, worker, [Log, Path])}
    end.

%% It has started when it notices stops.
worker(Log, Path) ->
    process_flag(trap_exit, true),
    proc_lib:init_ack(self()),
    leaves(Log, Path).

leaves(Log, Path) ->
    receive
        {leave, normal} -> exit(normal);
        {leave, error} -> exit(planned);
        {'EXIT', _, Why} ->
            event(Log, "stop", Path),
            exit(Why)
    end.

event(Log, Word, Path) ->
    N = ets:update_counter(Log, count, 1),
    ets:insert(Log, {N, [Word, $\s, path(Path)]}).

path([]) -> "root";
path(Path) -> lists:join("/", [atom_to_list(Id) || Id <- Path]).

%% The handler of logger: it runs in the process that reports, which is the supervisor.
log(#{msg := {report, #{label := {supervisor, shutdown}, report := Report}}}, _) ->
    case {get(witness), lists:keyfind(reason, 1, Report)} of
        {{Log, Path}, {_, reached_max_restart_intensity}} -> event(Log, "give up", Path);
        _ -> ok
    end;
log(_, _) -> ok.
