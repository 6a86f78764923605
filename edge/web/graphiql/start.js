// GraphiQL on this server: queries and mutations by POST, subscriptions by graphql-transport-ws.
(() => {
  const css = new CSSStyleSheet();
  css.replaceSync('html, body, #graphiql { height: 100%; margin: 0 }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, css];
  const post = (params, headers) =>
    fetch('/graphql', { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json', ...headers }, body: JSON.stringify(params) }).then((r) => r.json());
  const subscribe = (payload, headers) => ({
    subscribe(to) {
      const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/graphql`, 'graphql-transport-ws');
      const token = headers.authorization ?? headers.Authorization;
      const say = (message) => ws.send(JSON.stringify(message));
      ws.onopen = () => say({ type: 'connection_init', payload: token ? { authorization: token } : {} });
      ws.onmessage = ({ data }) => {
        const m = JSON.parse(data);
        if (m.type === 'connection_ack') say({ id: '1', type: 'subscribe', payload });
        else if (m.type === 'ping') say({ type: 'pong' });
        else if (m.type === 'next') to.next(m.payload);
        else if (m.type === 'error') to.error(m.payload);
        else if (m.type === 'complete') { to.complete(); ws.close(); }
      };
      ws.onclose = (event) => { if (event.code !== 1000 && event.code !== 1005) to.error(new Error(`closed: ${event.code} ${event.reason}`)); };
      return { unsubscribe: () => ws.close(1000) };
    },
  });
  const kind = (documentAst, name) => {
    const operations = documentAst?.definitions.filter((d) => d.kind === 'OperationDefinition') ?? [];
    return (operations.find((d) => d.name?.value === name) ?? operations[0])?.operation;
  };
  const fetcher = (params, { headers = {}, documentAST } = {}) => {
    const { query, variables, operationName } = params;
    const payload = { query, variables, operationName };
    return kind(documentAST, operationName) === 'subscription' ? subscribe(payload, headers) : post(payload, headers);
  };
  ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(GraphiQL, {
    fetcher,
    defaultEditorToolsVisibility: 'headers',
    shouldPersistHeaders: false,
    defaultQuery: '{\n  shop { name }\n  products(first: 5, search: "kurta") {\n    totalCount\n    nodes { name priceMin available }\n  }\n}\n',
  }));
})();
