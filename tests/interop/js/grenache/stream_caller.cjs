// Calls a stream: node stream_caller.cjs GRAPE NAME; each word is sent once the one before has come back
const Link = require('grenache-nodejs-link')
const { PeerRPCClient } = require('grenache-nodejs-http')

const [grape, name] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const peer = new PeerRPCClient(link, {})
peer.init()
const words = ['one', 'two', 'three']
const heard = []
const stream = peer.stream(name, { timeout: 10000, headers: { _a: 'up', _ar: { foo: 'bär' }, 'x-own': [1] } })
const next = () => words.length ? stream.write(words.shift()) : stream.end()
stream.on('data', data => { heard.push(data.toString()); next() })
stream.on('end', () => { console.log('answer ' + JSON.stringify(heard)); process.exit(0) })
stream.on('error', error => { console.log('answer ' + JSON.stringify({ error: error.message })); process.exit(0) })
next()
