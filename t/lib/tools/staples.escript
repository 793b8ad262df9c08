%%! +S 1
%% Handshakes by Erlang's TLS client, for t/chain_clients.t: each line of the
%% input is NAME PORT ROOTS; NAME is verified, on 127.0.0.1, and a staple is
%% demanded.  A line of output for each: "ok VERSION" or "refused" and why.

main(_) ->
    {ok, _} = application:ensure_all_started(ssl),
    logger:set_primary_config(level, none),
    lines().

lines() ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [Name, Port, Roots] = string:lexemes(Line, " \n"),
            io:format("~ts~n", [handshake(Name, list_to_integer(Port), Roots)]),
            lines()
    end.

handshake(Name, Port, Roots) ->
    Options = [{verify, verify_peer}, {cacertfile, Roots},
        {server_name_indication, Name}, {versions, ['tlsv1.3']},
        {stapling, staple}, {active, false}],
    try ssl:connect("127.0.0.1", Port, Options, 20000) of
        {ok, Socket} ->
            ssl:close(Socket),
            "ok";
        Reason ->
            io_lib:format("refused ~0p", [Reason])
    catch
        _:Reason ->
            io_lib:format("refused ~0p", [Reason])
    end.
