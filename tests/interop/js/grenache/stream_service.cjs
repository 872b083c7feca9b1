// Serves streams: node stream_service.cjs GRAPE NAME PORT; says what each one's head was, then what it sent in capitals
const Link = require('grenache-nodejs-link')
const { PeerRPCServer } = require('grenache-nodejs-http')

const [grape, name, port] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const peer = new PeerRPCServer(link, { disableBuffered: true })
peer.init()
const service = peer.transport('server')
service.listen(Number(port))
service.on('stream', (req, rep, meta) => {
  const head = { isStream: meta.isStream, key: meta.infoHeaders[1], action: meta.action, args: meta.args, own: req.headers['x-own'] }
  rep.write(JSON.stringify(head) + '\n')
  req.on('data', data => rep.write(data.toString().toUpperCase()))
  req.on('end', () => rep.end())
  req.on('aborted', () => console.log('caller left'))
})
link.announce(name, Number(port), {}, () => console.log('service ready'))
