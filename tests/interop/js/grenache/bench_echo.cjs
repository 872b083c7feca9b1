// ROLE=server or client: node bench_echo.cjs http|ws GRAPE PORT COUNT FLIGHT; calls a second, p99 in ms
const Link = require('grenache-nodejs-link')

const [kind, grape, port, count, flight] = process.argv.slice(2)
const { PeerRPCServer, PeerRPCClient } = require(`grenache-nodejs-${kind}`)
const link = new Link({ grape })
link.start()
if (process.env.ROLE === 'server') {
  const server = new PeerRPCServer(link, {})
  server.init()
  const service = server.transport('server')
  service.listen(Number(port))
  service.on('request', (rid, key, payload, handler) => handler.reply(null, payload))
  link.announce(`bench:${kind}`, Number(port), {}, () => console.log('service ready'))
} else {
  const client = new PeerRPCClient(link, {})
  client.init()
  const payload = 'x'.repeat(32)
  const call = () => new Promise((resolve, reject) => {
    client.request(`bench:${kind}`, payload, { timeout: 10000 }, e => e ? reject(e) : resolve())
  })
  const times = []
  const work = async n => {
    for (let i = 0; i < n; i++) {
      const begun = process.hrtime.bigint()
      await call()
      times.push(Number(process.hrtime.bigint() - begun) / 1e6)
    }
  }
  const all = async total => {
    const each = Math.ceil(total / Number(flight))
    await Promise.all(Array.from({ length: Number(flight) }, () => work(each)))
  }
  (async () => {
    await all(Number(count) / 4)
    times.length = 0
    const begun = process.hrtime.bigint()
    await all(Number(count))
    const seconds = Number(process.hrtime.bigint() - begun) / 1e9
    times.sort((a, b) => a - b)
    console.log(`answer ${JSON.stringify([times.length / seconds, times[Math.floor(times.length * 0.99)]])}`)
    process.exit(0)
  })()
}
