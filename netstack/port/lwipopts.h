// SPDX-License-Identifier: MIT
/*
 * lwipopts.h - lwIP 2.2.1 as a TCP engine behind a TUN device
 *
 * No threads, no own timers, no neighbour discovery, no fragments, memory by malloc with limits of ours around it
 * (netstack/ns_flow.c). Reasons and figures: tech-notes A1 to A6.
 */
#ifndef NETSTACK_PORT_LWIPOPTS_H
#define NETSTACK_PORT_LWIPOPTS_H

/* --- one thread; ns.c calls tcp_tmr() while there is a connection, so an idle process never wakes up */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_NETIF_API 0

/* --- memory: pools of fixed size would cost what they hold; MEMP_NUM_* do not apply */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define PBUF_POOL_BUFSIZE 2048 /* the default derives from TCP_MSS and would overflow 16 bits */
#define LWIP_DISABLE_MEMP_SANITY_CHECKS 1
#define LWIP_STATS 0

/* --- addresses: one interface, whose address is set to each packet's destination before input */
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_SINGLE_NETIF 1
#define LWIP_HAVE_LOOPIF 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_IGMP 0
#define LWIP_DHCP 0
#define LWIP_AUTOIP 0
#define LWIP_DNS 0
#define LWIP_RAW 0
#define LWIP_UDP 0 /* answered in ns_packet.c */
#define LWIP_ICMP 1
#define LWIP_ICMP6 1
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_DHCP6 0
#define LWIP_IPV6_SCOPES 0
#define LWIP_ND6_QUEUEING 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_IPV6_REASS 0
#define LWIP_IPV6_FRAG 0

/* --- TCP */
#define LWIP_TCP 1
#define TCP_MSS 65495			 /* MTU 65535 less the headers of IPv4 */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* two of them don't know a TCP_MSS above 16382 */
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 2
#define TCP_WND (128 * 1024) /* NS_BUFFER_BYTES; ns_conn.c asserts that they agree */
#define TCP_SND_BUF (128 * 1024)
#define TCP_SND_QUEUELEN 1024	      /* pbufs; ns_conn_room() counts with it */
#define TCP_OVERSIZE 1024	      /* small writes fill up the last pbuf of an unsent segment */
#define TCP_WND_UPDATE_THRESHOLD 8192 /* the default, TCP_WND / 4, would stall a window of 32 KiB */
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 32 /* a trimmed pbuf keeps its memory: at most 2 MiB a connection */
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 0
#define TCP_MSL 1000UL	       /* ms; the peer is this machine's kernel, nothing wanders about */
#define LWIP_TCP_RTO_TIME 1000 /* ms, before a round trip was measured: RFC 6298, 2.1 */
#define TCP_TMR_INTERVAL 250   /* ms */
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1 /* only for its passive_open callback, see ns_conn.c */
/* lwIP's own numbers count up from 6510 */
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) ns_lwip_rand()

/* --- checksums: ns_packet.c verifies IP and TCP before lwIP sees a packet; TCP's are left to the link where it can */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY 0
#define LWIP_NETIF_TX_SINGLE_PBUF 0

#endif
