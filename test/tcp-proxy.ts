export { startTcpProxy, type TcpProxy } from '../chaos/src/tcp-proxy.ts';
