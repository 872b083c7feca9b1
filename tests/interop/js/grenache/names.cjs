// What Grenache's packages offer to the tests: one line of JSON.
const { Grape } = require('grenache-grape')
const Link = require('grenache-nodejs-link')
const { PeerRPCServer, PeerRPCClient } = require('grenache-nodejs-http')
const { PeerPub, PeerSub } = require('grenache-nodejs-ws')

const parts = { Grape, Link, PeerPub, PeerRPCClient, PeerRPCServer, PeerSub }
console.log(JSON.stringify({ node: process.versions.node, functions: Object.keys(parts) }))
