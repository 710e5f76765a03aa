/* lwipopts.h - lwIP as this device uses it: raw API, no operating system, IPv4, one interface, one
 * TCP connection at a time. Every pool is counted; what is not named here keeps lwIP's default.
 */
#ifndef TOCSIN_NET_LWIP_LWIPOPTS_H
#define TOCSIN_NET_LWIP_LWIPOPTS_H

#define NO_SYS 1
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 1

/* Protocols. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_DHCP 1
#define LWIP_DNS 1
#define LWIP_IGMP 0
/* Mail servers do path MTU discovery; a fragmented syslog datagram is lost. */
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0
#define LWIP_ACD 0
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define LWIP_DHCP_GET_NTP_SRV 1
#define LWIP_DHCP_MAX_NTP_SERVERS 2
#define DHCP_COARSE_TIMER_SECS 10 /* In lwIP's minutes, leases of two of them would end early. */
#define DHCP_TIMEOUT_SIZE_T u32_t
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 0
#define LWIP_SINGLE_NETIF 1
#define ARP_TABLE_SIZE 4
#define ARP_QUEUEING 0
/* Seconds; RFC 1122 2.3.2.1 recommends a minute. A router that was replaced is missed for as long.
 */
#define ARP_MAXAGE 60
#define ETH_PAD_SIZE 0

/* Memory. The heap holds what is being sent; the pool what was received and not yet read. */
#define MEM_ALIGNMENT __SIZEOF_POINTER__ /* 4 on the boards, 8 where the tests run. */
#define MEM_SIZE 3328
#define MEMP_NUM_PBUF 4
#define PBUF_POOL_BUFSIZE 512
#define PBUF_POOL_SIZE 7
#define MEMP_NUM_UDP_PCB 4 /* DHCP, DNS, SNTP, syslog. */
#define MEMP_NUM_TCP_PCB 3 /* One in use; older ones in TIME_WAIT give way. */
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_TCP_SEG 8
#define MEMP_NUM_ARP_QUEUE 2
/* lwIP counts its own timers; SNTP's come on top, and a timer without a place is never run. */
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 2)
#define LWIP_STATS 0

/* TCP: two segments each way. A larger window overruns small DMA rings and is slower (measured). */
#define TCP_MSS 1460
#define TCP_WND (2 * TCP_MSS)
#define TCP_SND_BUF (2 * TCP_MSS)
#define TCP_SND_QUEUELEN 8
#define TCP_QUEUE_OOSEQ 0
#define TCP_CALCULATE_EFF_SEND_MSS 0 /* One Ethernet: TCP_MSS is what its MTU lets through. */
#define TCP_OVERSIZE 0 /* Each turn is written at once: nothing is ever added to a segment. */
#define LWIP_TCP_KEEPALIVE 0
#define TCP_LISTEN_BACKLOG 0
#define LWIP_HOOK_FILENAME "net/lwip/hooks.h"

/* Random numbers: ports, transaction ids, sequence numbers (RFC 6528's purpose by a generator). */
#define LWIP_RAND() stack_random()
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) stack_random()

/* DNS: ids and source ports are random; static names come first. */
#define DNS_TABLE_SIZE 3
#define DNS_MAX_NAME_LENGTH 64
#define DNS_MAX_SERVERS 2
#define DNS_MAX_RETRIES 3
#define DNS_LOOKUP_LOCAL_EXTERN(name, size, address, type) stack_host((name), (address))
#define DNS_SERVER_PORT stack_dns_port()

/* SNTP: the request carries a random number where the time would stand, and the answer must return
 * it. */
#define SNTP_SERVER_DNS 1
#define SNTP_MAX_SERVERS 2
/* Read from the lease by stack.c, when none is configured. */
#define SNTP_GET_SERVERS_FROM_DHCP 0
#define SNTP_PORT stack_sntp_port()
#define SNTP_CHECK_RESPONSE 2
#define SNTP_MONITOR_SERVER_REACHABILITY 0
#define SNTP_COMP_ROUNDTRIP 0
#define SNTP_STARTUP_DELAY 0
#define SNTP_RECV_TIMEOUT 3000
#define SNTP_RETRY_TIMEOUT 5000
#define SNTP_RETRY_TIMEOUT_MAX 60000
#define SNTP_UPDATE_DELAY 3600000
#define SNTP_GET_SYSTEM_TIME_NTP(s, f) \
    do {                               \
        (s) = (s32_t)stack_random();   \
        (f) = stack_random();          \
    } while (0)
#define SNTP_SET_SYSTEM_TIME_NTP(s, f) stack_sntp_time((u32_t)((s) + DIFF_SEC_1970_2036), (f))

#endif
